"""`locktender gate-webhook`: the mutating half of the gate where the API server has no MutatingAdmissionPolicy (Kubernetes 1.30 to 1.35).

What to hold is decided by the API server itself, in the matchConditions of the MutatingWebhookConfiguration. The server here only answers:
what it is asked about is paused and marked, or, where another webhook has undone the change, let go again. It keeps no state, so any
replica may answer any request.
"""
