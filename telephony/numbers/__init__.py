"""The configuration of telephone numbers: the agents, languages and opening hours of each number, and the steps that
follow if no agent can help.

- `config`: the configuration as values. Pure.
- `number_file`: reads the file, and names the line of each problem.
- `hours`: whether a number is open at a time. Pure.
- `ladder`: the steps of a call, in their order. Pure.
- `breaker`: when an endpoint of a model counts as out of order. Pure.
- `installation`: compares the numbers at Twilio with the configuration, changes and restores them.
"""
