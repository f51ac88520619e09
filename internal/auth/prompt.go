package auth

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// askPassword reads a password from in: unseen and twice where it is a terminal, else one line. An
// argument would be in the list of processes and in the shell's history.
func askPassword(in io.Reader, out io.Writer) (string, error) {
	if file, ok := in.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return promptPassword(int(file.Fd()), out)
	}
	line, err := bufio.NewReader(io.LimitReader(in, maxPasswordBytes+2)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func promptPassword(terminal int, out io.Writer) (string, error) {
	var answers [2]string
	for i, question := range []string{"Password: ", "Once more: "} {
		_, _ = fmt.Fprint(out, question)
		answer, err := term.ReadPassword(terminal)
		_, _ = fmt.Fprintln(out) // the one that was typed is not shown
		if err != nil {
			return "", fmt.Errorf("reading password: %w", err)
		}
		answers[i] = string(answer)
	}
	if answers[0] != answers[1] {
		return "", errors.New("reading password: the two differ; type it again")
	}
	return answers[0], nil
}
