package cli

import (
	"slices"

	"golang.org/x/sys/unix"
)

// diskOf returns what kind of disk a folder is on and its room in bytes.
func diskOf(dir string) (kind diskKind, room uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return diskLocal, 0, err
	}
	const smb2, cifs = 0xFE534D42, 0xFF534D42
	network := []uint32{unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, smb2, cifs, unix.CEPH_SUPER_MAGIC, unix.AFS_SUPER_MAGIC, unix.V9FS_MAGIC}
	switch magic := uint32(st.Type); {
	case slices.Contains(network, magic):
		kind = diskNetwork
	case magic == unix.TMPFS_MAGIC || magic == unix.RAMFS_MAGIC:
		kind = diskMemory
	}
	return kind, st.Bavail * uint64(st.Bsize), nil
}
