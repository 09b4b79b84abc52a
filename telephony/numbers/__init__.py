"""The numbers of an installation as configuration: agents, languages, hours, and what follows if no agent can help.

- `config`: the configuration as values. Pure.
- `number_file`: reads the file, and names the line of each problem.
- `hours`: whether a number is open at a time. Pure.
- `ladder`: the next step of a call that no agent can take. Pure.
- `breaker`: when an endpoint of a model counts as out of order. Pure.
- `installation`: compares the numbers at Twilio with the configuration, changes and restores them.
"""
