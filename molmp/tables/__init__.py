"""Tables in and out, by text and by row; nothing here knows a network.

Reading order: rows, source, lines, delimited, labels, columns, smi, sdf, parquet, read, write, dataset, groups, splits,
catalogue, fetch.
"""
