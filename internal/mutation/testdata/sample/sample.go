// Package sample is changed by a test.
package sample

const most = 2 * 5

// Sign is tested at every bound.
func Sign(n int) string {
	switch {
	case n < 0:
		return "-" + "1"
	case n == 0:
		return "0"
	}
	return "1"
}

// Sum is tested.
func Sum(all []int) (sum int) {
	for i := 0; i < len(all); i++ {
		sum = sum + all[i]
	}
	return -(-sum)
}

// Clip is tested inside its bounds only.
func Clip(n int) int {
	if n > most {
		return most
	}
	return n
}
