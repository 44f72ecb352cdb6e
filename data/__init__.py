"""Real data that ships with molmp, installed as ``molmp_data``."""
