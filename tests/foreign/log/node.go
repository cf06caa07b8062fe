package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// answerLimit is over the largest bundle: 256 entries of two bytes length and at most 65,535 bytes.
const answerLimit = 256*(2+65535) + 1

// requesters ask at the same time.
const requesters = 4

var client = &http.Client{
	Timeout:   60 * time.Second,
	Transport: &http.Transport{MaxIdleConnsPerHost: requesters},
}

// node is where the log is served.
type node struct {
	url, token string
}

// try asks for a path and gives whatever the answer is.
func (n *node) try(path string) (int, []byte, error) {
	request, err := http.NewRequest(http.MethodGet, n.url+path, nil)
	if err != nil {
		return 0, nil, err
	}
	if n.token != "" {
		request.Header.Set("Authorization", "Bearer "+n.token)
	}
	answer, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, answerLimit))
	return answer.StatusCode, body, err
}

// get asks for what must be there.
func (n *node) get(path string) ([]byte, error) {
	status, body, err := n.try(path)
	if err == nil && status != http.StatusOK {
		if len(body) > 200 {
			body = body[:200]
		}
		err = fmt.Errorf("GET %s: status %d: %s", path, status, body)
	}
	return body, err
}

// getJSON reads an answer into a value.
func (n *node) getJSON(path string, value any) error {
	body, err := n.get(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, value); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

// each runs a job for 0 to count-1, several at a time, and gives the first error.
func each(count int, job func(int) error) error {
	jobs, errs := make(chan int), make(chan error, requesters)
	var running sync.WaitGroup
	for i := 0; i < requesters; i++ {
		running.Add(1)
		go func() {
			defer running.Done()
			var first error
			for at := range jobs {
				if first == nil {
					first = job(at)
				}
			}
			errs <- first
		}()
	}
	for at := 0; at < count; at++ {
		jobs <- at
	}
	close(jobs)
	running.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
