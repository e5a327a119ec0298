"""What this hospital allows at all: `policy.toml`, which can tighten a project and nothing else.

`rules` is the file's form, `file` reads it, `adoption` puts each change on the audit, `verdict` judges a project
(pure), `terms` is what is left of one (pure), and `rates` counts what leaves. What the node's other parts call, with a
`PolicyFile` (`NodeHome.policy`):

- before an approval is signed: `verdict.check_policy(policy.current(), project, approved_on=…, limits=…, people=…)`,
  and `policy.current().digest()` for its audit row;
- at every piece of work: `wardround.node.training.assignment`;
- before anything leaves: `wardround.node.gateway.gateway`.
"""
