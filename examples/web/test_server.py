import unittest

import server


class Searching(unittest.TestCase):
    def test_words_are_found(self) -> None:
        count, best = server.search("gzip")
        assert count
        assert "gzip" in dict(best)

    def test_what_a_visitor_writes_is_words(self) -> None:
        assert server.search('"') == (0, [])
        assert server.search("NOT AND NEAR(x") == (0, [])

    def test_pages_are_escaped(self) -> None:
        assert b"<script>" not in server.page("<script>")


if __name__ == "__main__":
    unittest.main()
