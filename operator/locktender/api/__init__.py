"""The API types of locktender.dev/v1alpha1: specs, statuses, conditions. Pure; imported by everything, imports nothing of ours."""
