"""How rendered pictures differ from real ones, statistic by statistic: what `python -m experiments.domain_gap` prints."""
