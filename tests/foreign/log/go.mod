module mingpai.example/foreign-log

go 1.19

require golang.org/x/mod v0.7.0

// Where Debian's golang-golang-x-mod-dev puts it: nothing is fetched.
replace golang.org/x/mod => /usr/share/gocode/src/golang.org/x/mod
