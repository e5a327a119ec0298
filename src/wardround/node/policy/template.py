"""The `policy.toml` that joining writes: every key with what it means, and what holds without it."""

from __future__ import annotations

from wardround.node.policy.kinds import LIMITABLE

_KINDS = "\n".join(f'    "{kind}",' for kind in LIMITABLE)

TEXT = f"""\
# What this hospital allows at all. It can only tighten what a project asks and what an approval says: nothing written
# here opens anything. A running node notices a change at once; a file that can't be used stops all work until it is
# mended. Try a change with `wardround node policy check FILE`, and see what it does to a project with
# `wardround node policy explain PROJECT`. A key that is commented out shows an example, not what holds.

[leaving]
# Messages to the hub that may leave, beside those that keep this node a member (tasks, certificates, the ledger,
# decisions). Take one out and it is refused at the gateway: without "cohort-answer" no question is answered, without
# "run-update" or "engine-traffic" no run is joined.
kinds = [
{_KINDS}
]
# How much of all these kinds together, in the last 60 minutes and the last 24 hours. Bytes as sent.
messages_per_hour = 6_000
messages_per_day = 60_000
bytes_per_hour = 50_000_000_000
bytes_per_day = 300_000_000_000

# How much of one kind; each kind may have such a table.
# [leaving.kind.run-update]
# largest_bytes = 200_000_000
# messages_per_hour = 60
# messages_per_day = 500
# bytes_per_hour = 5_000_000_000
# bytes_per_day = 50_000_000_000

[cohort]
# The least number of people of which anything is told: this, or cohort.smallest_told of node.toml if that is larger.
smallest_told = 10
# The least number of people in a cohort that is approved or worked on.
smallest_trained_on = 2

[projects]
# Model packages, by name and by digest; without these keys any that the data controller approves.
# packages = ["brain-mri-glioma"]
# package_digests = ["0000000000000000000000000000000000000000000000000000000000000000"]
# Packages that bring code (a network's Python, or a program that reads images) and may run it here, by digest; no
# other does. It runs in a jail.
# own_code = ["0000000000000000000000000000000000000000000000000000000000000000"]
# By name, the algorithm and, where a plan names one, the rule by which it puts updates together ("trimmed-mean").
# algorithms = ["fedavg"]
# Grounds of the GDPR, and data-use terms (GA4GH DUO), that a project may name; without these keys any.
# article_6 = ["6-1-e"]
# article_9 = ["9-2-i", "9-2-j"]
# data_uses = ["DUO:0000006", "DUO:0000007", "DUO:0000046"]
# From the day of approval to the project's last.
longest_days = 1830
most_runs = 100
most_rounds = 1000
most_local_steps = 100_000
# Whether a model may be trained on this hospital's patients alone, for comparison, and leave.
compare_alone = true

[privacy]
# What is done to every update here at least, whatever a project asks. Noise is in units of the clip norm, and needs
# one: from here, from the project or from its approval. Where updates are cut, no model trained here alone leaves.
# largest_clip_norm = 1.0
# least_noise = 0.5
# What all rounds of a project together may tell of any one patient; a project that doesn't bound it is refused.
# largest_epsilon = 8.0
# largest_delta = 1e-5
# Steps that have to be done to every update, however much of them; a project without one is refused.
# steps = ["clip", "noise"]

[work]
# When this node works for projects, as "20:00-06:00" or several with commas; empty for any time. A time zone by its
# IANA name; empty for this machine's.
hours = ""
time_zone = ""
# Processor cores for learning, if fewer than learning.threads of node.toml.
# threads = 1
# How far learning steps behind other programs (0 to 19); from the next start on.
nice = 5
most_runs_at_once = 4
# What one call of a package's own Python may take in its jail.
jail_memory_gb = 4
jail_minutes = 60
"""
