package spool

func child(string) int { return 2 }
