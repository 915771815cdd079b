from mmdualhead.utils.tables import escape_markdown, markdown_table


def test_markdown_stays_text_whatever_the_names():
    table = markdown_table(['class', 'n'], [['<img src=x>|a\nb & c', 1]])
    # As GitHub and MyST read them, these are characters.
    assert escape_markdown('![x](y) `a` *b* ~c~ $d$ __e__ f_g \\') == (
        r'!\[x\](y) \`a\` \*b\* \~c\~ \$d\$ \_\_e\_\_ f_g \\'
    )
    assert table.splitlines()[2:] == ['| &lt;img src=x>\\|a b &amp; c | 1 |']
