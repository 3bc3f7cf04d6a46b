package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
)

// untilDrained ends a request that only waits for news when the server stops;
// every other request is let finish.
func untilDrained(h http.Handler, news context.Context) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Query().Has("wait") {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			defer context.AfterFunc(news, cancel)()
			r = r.WithContext(ctx)
		}
		h.ServeHTTP(w, r)
	})
}

// recovered turns a panic into a 500 that tells the client nothing and the log
// everything.
func recovered(h http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v) // how a handler asks for the connection to be cut
			}
			log.Error("a request panicked", "method", r.Method, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			http.Error(w, "Something went wrong here. The log says what.", http.StatusInternalServerError)
		}()
		h.ServeHTTP(w, r)
	})
}
