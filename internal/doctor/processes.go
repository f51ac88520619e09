package doctor

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/runs"
)

const startDo = "start it with `shop-connect streams …`; where it runs elsewhere, set the address by which it is reached from here"

// processes are those of shop-connect itself.
func (e *examination) processes() server {
	s := server{name: "shop-connect", address: e.HealthURL}
	if e.HealthURL != "" {
		s.checks = append(s.checks, check{"api", func(ctx context.Context) []Finding {
			return askProcess(ctx, e.HealthURL, "", "", "docs/runbook.md, ShopDependencyAway: the servers above say which is away")
		}})
	}
	if e.Vars[env.StreamsAddress] != "" || e.Vars[env.StreamsURL] != "" {
		s.checks = append(s.checks, check{"streams", func(ctx context.Context) []Finding {
			return askProcess(ctx, runs.StreamsURL(e.Vars)+"/ready", e.Vars[env.StreamsUser], e.Vars[env.StreamsPassword],
				"its log says what the stream tries again and again; docs/runbook.md, ShopStreamStuck")
		}})
	}
	if len(s.checks) == 0 {
		s.checks = []check{{"api", func(context.Context) []Finding {
			return []Finding{fine("not asked: neither %s nor %s is set", env.APIAddress, env.StreamsAddress)}
		}}}
	}
	return s
}

func askProcess(ctx context.Context, address, user, password, do string) []Finding {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return []Finding{warning("correct "+env.APIAddress+", "+env.StreamsAddress+" or "+env.StreamsURL, "%v", err)}
	}
	if user != "" {
		request.SetBasicAuth(user, password)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return []Finding{warning(startDo, "does not run, or cannot be reached: %v", err)}
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10)) // what there is of it is told
	switch said := strings.TrimSpace(string(text)); response.StatusCode {
	case http.StatusOK:
		return []Finding{fine("answers, all is connected")}
	case http.StatusUnauthorized:
		return []Finding{warning("correct "+env.StreamsUser+" and "+env.StreamsPassword, "refuses the credentials")}
	default:
		return []Finding{fault(do, "answers %d: %s", response.StatusCode, said)}
	}
}

// hostOf is where a connection string leads to, without credentials.
func hostOf(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(fmt.Sprintf("%s%s", u.Host, u.Path), "/")
}
