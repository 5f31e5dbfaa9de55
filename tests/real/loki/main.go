// A real Loki on loopback, for tests of the loki output: run DATA_DIR [key=value ...].
//
// It is all of Loki as its own command starts it (target "all"), of the last version that can be had as a Go module and is
// under the Apache licence. What is ours is the configuration, where it listens, and when it ends.
//
// On stdout it prints one line, "listening http://127.0.0.1:PORT", when it takes and answers requests. It ends at the end of
// its stdin, or at SIGTERM, after it has written what it holds in memory: with the same DATA_DIR it goes on from there.
// Killed, it loses what is in memory, for this version has no write-ahead log. Loki's own log is DATA_DIR/log.
//
// key=value sets one of Loki's limits_config, or auth_enabled; section.key=value sets any other key of its configuration.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cortexproject/cortex/pkg/util"
	"github.com/grafana/loki/pkg/loki"
	"github.com/grafana/loki/pkg/util/validation"
	"gopkg.in/yaml.v2"
)

// Defaults are Loki's own, save for what makes it one process that is ready at once, and is alone.
const base = `
auth_enabled: false
server:
  http_listen_address: 127.0.0.1
  grpc_listen_address: 127.0.0.1
  graceful_shutdown_timeout: 2s
ingester:
  lifecycler:
    id: loki
    address: 127.0.0.1
    min_ready_duration: 0s   # a minute otherwise
    join_after: 0s
    final_sleep: 0s          # half a minute otherwise
    ring: {kvstore: {store: inmemory}, replication_factor: 1}
  max_transfer_retries: 0    # nobody to hand over to: at the end it writes
schema_config:
  configs:
  # From the beginning of time: an entry from before the first schema can be taken, but never written. A file of index per
  # 52 weeks rather than one: an old entry opens all from then on.
  - {from: "1970-01-01", store: boltdb, object_store: filesystem, schema: v11, index: {prefix: index_, period: 8736h}}
storage_config:
  boltdb: {}
  filesystem: {}
limits_config:
  enforce_metric_name: false # of Cortex; no Loki works with it
`

const (
	readyWithin = 30 * time.Second
	// A flush that fails is tried again for ever.
	stopWithin = 20 * time.Second
	// How often another process may take a port between our choice and Loki's bind.
	attempts = "AUDITSHIP_TEST_LOKI_ATTEMPTS"
)

var complaints = os.Stderr

func main() {
	if len(os.Args) < 2 {
		fail(errors.New("usage: run DATA_DIR [key=value ...]"))
	}
	dir, err := filepath.Abs(os.Args[1])
	check(err)
	check(os.MkdirAll(dir, 0o755))
	ports, err := freePorts()
	check(err)
	config, err := configure(dir, ports, os.Args[2:])
	check(err)

	check(logTo(filepath.Join(dir, "log")))
	util.InitLogger(&config.Server)
	server, err := loki.New(*config)
	check(err)

	// Loki looks at the first signal only; with this, a second one does not kill it while it writes.
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop <- syscall.SIGTERM
	}()
	go func() {
		url := fmt.Sprintf("http://127.0.0.1:%d", config.Server.HTTPListenPort)
		if !isReady(url) {
			fail(fmt.Errorf("not ready in %s", readyWithin))
		}
		fmt.Println("listening", url)
		<-stop
		// Loki's handler, which is there by now, ends everything in its order.
		check(syscall.Kill(os.Getpid(), syscall.SIGTERM))
		time.Sleep(stopWithin)
		fail(fmt.Errorf("not stopped in %s", stopWithin))
	}()

	err = server.Run()
	if tried := os.Getenv(attempts); errors.Is(err, syscall.EADDRINUSE) && len(tried) < 5 {
		// A second Loki in one process would find its metrics registered.
		check(os.Setenv(attempts, tried+"x"))
		check(syscall.Dup3(int(complaints.Fd()), 2, 0))
		check(syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
	}
	check(err)
}

// configure writes DATA_DIR/config.yaml and reads it as Loki does: over its defaults, and strictly.
func configure(dir string, ports [2]int, settings []string) (*loki.Config, error) {
	all := map[string]any{}
	check(yaml.Unmarshal([]byte(base), &all))
	set := func(section, key string, value any) {
		if section == "" {
			all[key] = value
			return
		}
		inner, ok := all[section].(map[any]any)
		if !ok {
			inner = map[any]any{}
			all[section] = inner
		}
		inner[key] = value
	}
	set("server", "http_listen_port", ports[0])
	set("server", "grpc_listen_port", ports[1])
	set("storage_config", "boltdb", map[string]string{"directory": filepath.Join(dir, "index")})
	set("storage_config", "filesystem", map[string]string{"directory": filepath.Join(dir, "chunks")})
	for _, setting := range settings {
		name, text, ok := strings.Cut(setting, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not key=value", setting)
		}
		var value any
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		section, key, ok := strings.Cut(name, ".")
		if !ok {
			section, key = "limits_config", name
		}
		if name == "auth_enabled" {
			section = ""
		}
		set(section, key, value)
	}
	text, err := yaml.Marshal(all)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), text, 0o644); err != nil {
		return nil, err
	}

	config := &loki.Config{}
	config.RegisterFlags(flag.NewFlagSet("loki", flag.ContinueOnError)) // sets the defaults
	validation.SetDefaultLimitsForYAMLUnmarshalling(config.LimitsConfig)
	if err := yaml.UnmarshalStrict(text, config); err != nil {
		return nil, err
	}
	return config, config.Validate(util.Logger)
}

// logTo sends stderr to a file, with what the runtime prints of a panic, but for what fail says.
func logTo(path string) error {
	before, err := syscall.Dup(2)
	if err != nil {
		return err
	}
	syscall.CloseOnExec(before)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	complaints = os.NewFile(uintptr(before), "stderr")
	return syscall.Dup3(int(file.Fd()), 2, 0)
}

// freePorts asks the system for two: the ring announces the port of gRPC before Loki binds it, so 0 would not do.
func freePorts() (ports [2]int, err error) {
	for i := range ports {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return ports, err
		}
		defer listener.Close()
		ports[i] = listener.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// isReady waits until Loki says that it is, and a read has found the ingester: what sends has a view of the ring of its own.
func isReady(url string) bool {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answers := func(path string) bool {
		request, err := http.NewRequest(http.MethodGet, url+path, nil)
		check(err)
		request.Header.Set("X-Scope-OrgID", "is-it-ready")
		response, err := client.Do(request)
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	}
	for end := time.Now().Add(readyWithin); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if answers("/ready") && answers("/loki/api/v1/labels") {
			return true
		}
	}
	return false
}

func check(err error) {
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(complaints, "loki:", strings.ReplaceAll(err.Error(), "\n", " "))
	os.Exit(1)
}
