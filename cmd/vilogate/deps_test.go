package main

import (
	// Required in go.mod and not imported anywhere yet.
	_ "github.com/chromedp/cdproto/network"
	_ "golang.org/x/time/rate"
)
