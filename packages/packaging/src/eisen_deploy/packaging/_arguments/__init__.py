"""What ``EisenServingMAR`` and ``pack`` are given, parsed once into typed values."""
