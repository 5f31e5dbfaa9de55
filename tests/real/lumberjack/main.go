// A program that logs through lumberjack: each line of its standard input goes into the file, which lumberjack renames
// when it is full, compresses, and begins anew.
//
//	writer FILE.jsonl MEGABYTES
package main

import (
	"bufio"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"
)

func main() {
	megabytes, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	// Backups are kept for ever: what is deleted before it is read is another matter.
	file := &lumberjack.Logger{Filename: os.Args[1], MaxSize: megabytes, Compress: true}
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if _, err := file.Write(line); err != nil {
			log.Fatal(err)
		}
		if err != nil {
			break
		}
	}
	if err := file.Close(); err != nil {
		log.Fatal(err)
	}
	// It compresses in the background, and does not say when it is done.
	for range 600 {
		plain, err := filepath.Glob(strings.TrimSuffix(os.Args[1], ".jsonl") + "-*.jsonl")
		if err != nil {
			log.Fatal(err)
		}
		if len(plain) == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	log.Fatal("lumberjack does not compress its backups")
}
