"""A script in the role of a worker: a fresh process that lacks the notebook's ``__main__``."""

import pickle
import sys

from scattergather.wire.code.code import CodeBlob
from scattergather.wire.code.codebook import CodeBook
from scattergather.wire.values.payload import Packer, Unpacker
from scattergather.wire.values.raised import pack_exception


def main() -> None:
    codes, calls = pickle.load(sys.stdin.buffer)
    book = CodeBook()
    for digest, blob, needs in codes:
        book.add(CodeBlob(digest=digest, blob=blob, needs=needs))
    packer = Packer(book, name="result")
    outcomes = {}
    for name, digest, body, needs in calls:
        assert not book.missing([digest, *needs]), name
        try:
            args, kwargs = Unpacker(body, book).load(0)
            value = book.function(digest)(*args, **kwargs)
            packer.pack(value)
            outcomes[name] = "returned", packer.take()[1]
        except BaseException as error:
            outcomes[name] = "raised", pack_exception(error, book, skip=1)
    sys.stdout.buffer.write(pickle.dumps(outcomes))


if __name__ == "__main__":
    main()
