// Package agent keeps files filled with working tokens, for programs that read
// a token from a file.
//
// Each file is a [Sink]. The agent asks for its token, writes it if it differs
// from what the file holds, and asks again before it expires and every now and
// then, because a token may be replaced at any time. A file is replaced as a
// whole, so a reader sees the old content or the new. What cannot be renewed
// stays in its file: its reader learns from the provider that it has ended.
package agent
