package jwks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

const discoveryPath = "/.well-known/openid-configuration"

var errTooLarge = errors.New("the answer is too large")

// fetch gets the key set, by way of the issuer's metadata if that is how it is found.
func (r *Remote) fetch(ctx context.Context) (*Set, error) {
	ctx, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	address := r.config.URL
	if address == "" {
		var err error
		if address, err = r.discover(ctx); err != nil {
			return nil, fmt.Errorf("discovery: %w", err)
		}
	}
	data, err := r.get(ctx, &r.keysClient, address)
	if err != nil {
		return nil, err
	}
	return parse(data)
}

// discover reads the issuer's metadata (OpenID Connect Discovery 1.0, section 4).
func (r *Remote) discover(ctx context.Context) (string, error) {
	data, err := r.get(ctx, &r.client, strings.TrimSuffix(r.config.DiscoveryIssuer, "/")+discoveryPath)
	if err != nil {
		return "", err
	}
	var metadata struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(data, &metadata); err != nil {
		return "", errors.New("not the metadata of an issuer")
	}
	if metadata.Issuer != r.config.DiscoveryIssuer {
		return "", fmt.Errorf("the metadata is of another issuer, %q", metadata.Issuer)
	}
	if err := checkURL(metadata.Keys); err != nil {
		return "", fmt.Errorf("jwks_uri: %w", err)
	}
	if isHTTPS(r.config.DiscoveryIssuer) && !isHTTPS(metadata.Keys) {
		return "", fmt.Errorf("jwks_uri: %q is not https, as the issuer is", metadata.Keys)
	}
	return metadata.Keys, nil
}

func isHTTPS(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "https"
}

// get reads an answer that is 200, and no longer than allowed.
func (r *Remote) get(ctx context.Context, client *http.Client, address string) (data []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Host = r.config.Host
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := client.Do(request)
	if failed := (*url.Error)(nil); errors.As(err, &failed) {
		return nil, fmt.Errorf("GET %s: %w", address, failed.Err) // its own URL may be a redirect's, with what is secret in it
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", address, response.Status)
	}
	data, err = io.ReadAll(io.LimitReader(response.Body, r.config.MaxBytes+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > r.config.MaxBytes {
		return nil, errTooLarge
	}
	return data, nil
}
