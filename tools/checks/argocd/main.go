// Runs the health scripts and actions of a folder in Argo CD's layout, by the Lua engine that Argo CD uses and with the libraries that
// it opens for scripts of argocd-cm: base, package, table, and os with time and date alone. Each expectation is one line of output;
// the exit code is 1 when one is not met, or when none was found.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	lua "github.com/yuin/gopher-lua"
	luajson "layeh.com/gopher-json"
	"sigs.k8s.io/yaml"
)

const patience = time.Second // Argo CD ends a script after this time

type object = map[string]any

type healthTests struct {
	Tests []struct {
		InputPath    string
		HealthStatus object
	}
}

type actionTests struct {
	DiscoveryTests []struct {
		InputPath string
		Result    []object
	}
	ActionTests []struct {
		Action, InputPath, ExpectedOutputPath string
	}
}

type suite struct{ passed, failed int }

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: argocd-lua FOLDER")
		os.Exit(2)
	}
	found := suite{}
	kinds, err := filepath.Glob(filepath.Join(os.Args[1], "*", "*"))
	must(err)
	for _, folder := range kinds {
		found.health(folder)
		found.actions(filepath.Join(folder, "actions"))
	}
	fmt.Printf("%d passed, %d failed\n", found.passed, found.failed)
	if found.failed > 0 || found.passed == 0 {
		os.Exit(1)
	}
}

func (s *suite) health(folder string) {
	tests := healthTests{}
	read(filepath.Join(folder, "health_test.yaml"), &tests)
	script := text(filepath.Join(folder, "health.lua"))
	used := []string{}
	for _, test := range tests.Tests {
		result := run(script, input(folder, test.InputPath))
		s.expect(filepath.Join(folder, test.InputPath), result, test.HealthStatus)
		used = append(used, filepath.Base(test.InputPath))
	}
	s.allUsed(folder, used)
}

func (s *suite) actions(folder string) {
	if _, err := os.Stat(folder); err != nil {
		return
	}
	tests := actionTests{}
	read(filepath.Join(folder, "action_test.yaml"), &tests)
	discovery := text(filepath.Join(folder, "discovery.lua"))
	used := []string{}
	for _, test := range tests.DiscoveryTests {
		s.expect("actions for "+test.InputPath, offered(run(discovery, input(folder, test.InputPath))), named(test.Result))
		used = append(used, filepath.Base(test.InputPath))
	}
	for _, test := range tests.ActionTests {
		script := text(filepath.Join(folder, test.Action, "action.lua"))
		s.expect("action "+test.Action, run(script, input(folder, test.InputPath)), input(folder, test.ExpectedOutputPath))
		used = append(used, filepath.Base(test.InputPath), filepath.Base(test.ExpectedOutputPath))
	}
	s.allUsed(folder, used)
}

// An example that no test names proves nothing.
func (s *suite) allUsed(folder string, used []string) {
	files, err := filepath.Glob(filepath.Join(folder, "testdata", "*.yaml"))
	must(err)
	for _, file := range files {
		if !slices.Contains(used, filepath.Base(file)) {
			s.expect(file, "no test names it", "a test names it")
		}
	}
}

func (s *suite) expect(what string, got, want any) {
	got, want = normal(got), normal(want)
	if reflect.DeepEqual(got, want) {
		s.passed++
		fmt.Println("ok", what)
		return
	}
	s.failed++
	fmt.Printf("FAILED %s\n  got  %v\n  want %v\n", what, got, want)
}

// offered turns what discovery returns into a map by name; Lua's empty table is an empty array in JSON.
func offered(result any) any {
	if list, empty := result.([]any); empty && len(list) == 0 {
		return object{}
	}
	return result
}

func named(actions []object) object {
	found := object{}
	for _, action := range actions {
		name, _ := action["name"].(string)
		delete(action, "name")
		found[name] = action
	}
	return found
}

// run executes a script as Argo CD does for one that comes from argocd-cm.
func run(script string, obj object) any {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}} {
		must(state.CallByParam(lua.P{Fn: state.NewFunction(library.open), NRet: 0, Protect: true}, lua.LString(library.name)))
	}
	state.SetGlobal(lua.OsLibName, state.SetFuncs(state.NewTable(), map[string]lua.LGFunction{"time": now, "date": now}))
	limit, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	state.SetContext(limit)
	state.SetGlobal("obj", luajson.DecodeValue(state, obj))
	if err := state.DoString(script); err != nil {
		return err.Error()
	}
	encoded, err := luajson.Encode(state.Get(-1))
	must(err)
	var result any
	must(json.Unmarshal(encoded, &result))
	return result
}

func now(state *lua.LState) int {
	state.Push(lua.LNumber(time.Now().Unix()))
	return 1
}

// normal gives both sides the types of JSON.
func normal(value any) any {
	encoded, err := json.Marshal(value)
	must(err)
	var result any
	must(json.Unmarshal(encoded, &result))
	return result
}

func input(folder, path string) object {
	found := object{}
	read(filepath.Join(folder, path), &found)
	return found
}

func read(path string, into any) {
	must(yaml.Unmarshal([]byte(text(path)), into))
}

func text(path string) string {
	content, err := os.ReadFile(path)
	must(err)
	return string(content)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
