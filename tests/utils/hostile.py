"""Pickles that no program writes, put together by hand."""

import io
import struct
import zipfile

import torch

START, END = b'\x80\x02', b'.'


def name(module, attribute):
    return f'c{module}\n{attribute}\n'.encode()


def text(value):
    return b'X' + struct.pack('<I', len(value)) + value.encode()


def data(value):
    return b'B' + struct.pack('<I', len(value)) + value


def whole(value):
    return b'J' + struct.pack('<i', value)


def dtype_state(size):
    """The state of a type of strings whose elements have so many bytes."""
    return b'(K\x03' + text('<') + b'NNN' + whole(size) + whole(4) + b'K\x08tb'


def growing_array(latin=False):
    """An array whose type is made larger once it has its memory, and this type."""
    raw = name('_codecs', 'encode') + text('a\0\0\0' * 8) + text('latin1') + b'\x86R' if latin else None
    return (
        name('numpy.core.multiarray', '_reconstruct')
        + name('numpy', 'ndarray')
        + (b'K\0\x85' + name('_codecs', 'encode') + text('b') + text('latin1') + b'\x86R\x87Rq\0')
        + (b'(K\x01K\x08\x85' + name('numpy', 'dtype') + text('U1') + b'\x89\x88\x87R' + dtype_state(4))
        + (b'q\x01\x89' + (raw or data(b'a\0\0\0' * 8)) + b'tbh\x01' + dtype_state(1 << 24) + b'\x86')
    )


def nested(levels=100):
    """A tuple that holds a tuple twice that holds a tuple twice and so on."""
    return b')q\0' + b'0h\0h\0\x86q\0' * levels


def growing_lists(levels=100):
    """Lists that are empty when they are put twice into the one before, and get their items afterwards."""
    made = b']q\0'
    for level in range(levels):
        made += b'0]q' + bytes([level + 1]) + b'0h' + bytes([level]) + (b'h' + bytes([level + 1])) * 2
        made += b'\x86' + b'a'
    return made + b'0h\0'


def checkpoint(content):
    """A checkpoint whose pickle is ``content``."""
    file = io.BytesIO()
    torch.save({'weight': torch.ones(4)}, file)
    made = io.BytesIO()
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(made, 'w') as target:
        for member in source.infolist():
            is_pickle = member.filename.endswith('data.pkl')
            target.writestr(member.filename, content if is_pickle else source.read(member))
    return made.getvalue()


def tensor(size, stride, offset=0, elements=4):
    """A tensor of the storage of :func:`checkpoint`."""

    def shape(sizes):
        return b'(' + b''.join(map(whole, sizes)) + b't'

    storage = (
        b'('
        + text('storage')
        + name('torch', 'FloatStorage')
        + text('0')
        + text('cpu')
        + whole(elements)
        + b'tQ'
    )
    return (name('torch._utils', '_rebuild_tensor_v2') + b'(' + storage + whole(offset) + shape(size)) + (
        shape(stride) + b'\x89' + name('collections', 'OrderedDict') + b')RtR'
    )


def state_dict(value):
    """The pickle of a checkpoint with one weight."""
    return START + b'}' + text('state_dict') + b'}' + text('weight') + value + b'ss' + END


def meta(value):
    """The pickle of a checkpoint with something in its meta."""
    return (
        START + b'}(' + text('state_dict') + b'}' + text('meta') + b'}' + text('seen') + value + b'su' + END
    )


def plain(value):
    return START + value + END
