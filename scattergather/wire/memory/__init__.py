"""Large values: memory without a name that several processes of one host see.

``slabs``    a slab: made, written, read
``arena``    a process's own slabs, cut into extents
``scratch``  where files without a name go
``views``    private mappings of extents, and whether anybody has written to them
``copying``  copying within memory, by several processors
``owned``    descriptors and mappings that belong to an object from their first instant
``files``    files that tasks write, read as ranges and not mapped
``garbage``  who is told when a value is no more
``outside``  what of a value goes there while it is packed
``stub``     a blob of which parts lie there
``whole``    a value that stays where it is made, as one object
"""
