"""The configuration of phone numbers: the agents, languages and opening hours of each number, and the steps of a call
if no agent can help.

- `config`: the configuration as Python objects. Pure.
- `number_file`: reads the file, and reports each problem with its line.
- `opening_hours`: whether a number is open at a time. Pure.
- `ladder`: the steps of a call, in order. Pure.
- `breaker`: the circuit breaker for the endpoint of a model. Pure.
- `installation`: compares the numbers at Twilio with the configuration, and changes and restores the numbers.
"""
