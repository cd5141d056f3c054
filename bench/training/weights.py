class WeightsError(Exception):
    pass
