"""Training texts with full marks: plans, a teacher's drafts, what was accepted and why not.

A plan and a teacher come in; rows go out.
"""
