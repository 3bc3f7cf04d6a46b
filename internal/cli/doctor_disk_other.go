//go:build !linux

package cli

import "golang.org/x/sys/unix"

// diskOf returns the room of the disk a folder is on, in bytes. Of what kind it
// is cannot be told here.
func diskOf(dir string) (kind diskKind, room uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return diskLocal, 0, err
	}
	return diskLocal, uint64(st.Bavail) * uint64(st.Bsize), nil
}
