from mmdualhead.utils.tables import markdown_table


def test_markdown_stays_text_whatever_the_names():
    table = markdown_table(['class', 'n'], [['<img src=x>|a\nb & c', 1]])
    assert table.splitlines()[2:] == ['| &lt;img src=x>\\|a b &amp; c | 1 |']
