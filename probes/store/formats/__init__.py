"""The files of a store: two formats that are read alike.

    names       which file belongs to which writer, and which took the place of which
    columns     what both formats give: rows of a problem, or columns of it
    sqlite      files that a stranger may have made, or a killed writer left
    journal     SQLite, into which a writer commits
    sealed      Parquet, in which a journal ends that has grown large: reading
    sealing     from a journal to a sealed file

Owns: rows and columns of one file.
Does not own: a writer's files together (`probes.store.writer_files`), what rows mean (`probes.store.store`).
"""
