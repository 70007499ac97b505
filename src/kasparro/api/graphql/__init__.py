"""GraphQL over the dataset: the same queries, rules and limits as the other routes, in another language.

`api.routes.graphql` imports `endpoint` with the first request that needs it: a process that is never asked pays nothing.
"""
