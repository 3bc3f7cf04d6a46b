package sample

import "testing"

func TestSample(t *testing.T) {
	if Sign(-1) != "-1" || Sign(0) != "0" || Sign(1) != "1" {
		t.Error("a sign is wrong")
	}
	if Sum([]int{1, 2, 3}) != 6 {
		t.Error("a sum is wrong")
	}
	if Clip(3) != 3 {
		t.Error("what needs no clipping is clipped")
	}
}
