"""What `skillmix eval`, `quickstart` and `grade` do.

lm_eval's arguments or stored answers come in; lm-eval's own results and samples go out.
"""
