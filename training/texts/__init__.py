"""Training texts with full marks: plans, a teacher's drafts, accepted texts and reasons for rejection.

A plan and a teacher come in; rows go out.
"""
