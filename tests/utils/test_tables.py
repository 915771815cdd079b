import csv
import io

from mmdualhead.utils.tables import csv_table, escape_markdown, markdown_table, text_table


def test_markdown_stays_text_whatever_the_names():
    table = markdown_table(['class', 'n'], [['<img src=x>|a\nb & c', 1]])
    # As GitHub and MyST read them, these are characters.
    assert escape_markdown('![x](y) `a` *b* ~c~ $d$ __e__ f_g \\') == (
        r'!\[x\](y) \`a\` \*b\* \~c\~ \$d\$ \_\_e\_\_ f_g \\'
    )
    assert table.splitlines()[2:] == ['| &lt;img src=x>\\|a b &amp; c | 1 |']


def test_names_do_not_control_what_they_are_written_into():
    assert '\x1b' not in escape_markdown('\x1b[2J') + text_table(['\x1b'], [['\x1b']])
    names = ['=cmd|x', '+1', '-1', '@a', '\tb', '\r=c', '\n=d', '\uff1de', 'a,"b', 'a\x1b']
    rows = list(csv.reader(io.StringIO(csv_table(['name', 'n'], [[name, -1] for name in names]), newline='')))
    expected = ["'=cmd|x", "'+1", "'-1", "'@a", r"'\tb", r"'\r=c", r"'\n=d", "'\uff1de", 'a,"b', r'a\x1b']
    assert rows == [['name', 'n'], *([name, '-1'] for name in expected)]
