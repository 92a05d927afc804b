package strictyaml

import "strings"

// Nearest is the known word that word was probably meant to be, or "" when none is near. Case, and - against _, count for
// nothing; otherwise a third of the letters may be wrong, missing, too many or swapped.
func Nearest(word string, known []string) string {
	if word == "" || len(word) > 64 {
		return ""
	}
	best, least := "", max(len(word)/3, 1)+1
	for _, k := range known {
		if distance := editDistance(foldKey(word), foldKey(k)); distance < least {
			best, least = k, distance
		}
	}
	return best
}

func foldKey(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }

// editDistance counts the insertions, deletions, substitutions and swaps of neighbours between a and b.
func editDistance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
