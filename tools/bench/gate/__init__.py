"""`make bench-gate`: what the gate costs, beside a plain rollout, a bare Job and a Helm hook, all in one run on one node."""
