<?php
// What PHP reads of the query on each line of the input.
while (($query = fgets(STDIN)) !== false) {
    parse_str(rtrim($query, "\n"), $read);
    echo json_encode([rtrim($query, "\n"), 'PHP', $read['owner'] ?? null], JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE), "\n";
}
