"""What is found out, before anything is judged of it.

* :mod:`.gathering` - a configuration: the :mod:`.server_properties` as both of their readers read
  them, the archives of the :mod:`.model_store`, and the machine
* :mod:`.running_server` - a server: what it answers, its :mod:`.certificate`, :mod:`.probes`
"""
