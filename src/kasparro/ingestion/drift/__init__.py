"""The shape of a source's records: learned from the first complete fetch, compared with every batch after that.

shape      the accepted shape, as it is stored
observing  a batch in, what its records look like out (exact names, sampled values)
cells      what the text of a CSV cell looks like
renames    fields that went and fields that came in, those that are the same out
comparing  shape and observation in, differences out; and the shape that has them in it
departing  one record in, what sets it apart from the accepted shape out
watch      all of it for one attempt of a run, under the declared policy
"""
