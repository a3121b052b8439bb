"""A handler of a user's own, as the documentation shows it."""

from eisen_deploy.serving import EisenServingHandler


class Doubling(EisenServingHandler):
    def inference(self, input_dict):
        output = super().inference(input_dict)
        return {**output, "y": 2 * output["y"]}
