// Package move copies one store into another, so that a server can go on with
// that one: from a SQLite file to a PostgreSQL database.
//
//	           source                          target
//	begin      move begun     ───────────────▶ unfinished copy, of this state of the source
//	copy       (its lock is held)              batch after batch, each with how far it has come
//	verify     every row      ◀──────────────▶ every row
//	end        moved: it is not served any more
//	                                           whole: it may be served
//
// Each line is durable before the next. A target is not served before its copy is
// whole and a source not after it was marked as moved, so there is no moment at
// which both renew the same grants, and a move that was killed anywhere goes on
// when it is run again:
//
//	killed before     then
//	the first batch   it begins again
//	the last batch    it goes on behind the last batch that was committed; if a server
//	                  has used the source meanwhile, it begins again
//	the end           it verifies again
//	the last line     neither is served; it verifies again and ends
//
// What is copied is sealed and stays so.
package move
