package main_test

import "time"

// ago is a moment at which tokens of these tests were good already.
var ago = time.Now().Add(-time.Minute).Unix()

// shape is a token as its issuer forms it, and who it is of.
type shape struct {
	issuer string // its name in idp/token/README.md
	typ    any    // nil for none
	alg    string // RS256 where it is ""
	header claims // what else stands there
	claims claims // besides iss, iat and exp; aud is the first audience of the configuration unless it stands here
	keys   string // an odd entry of the key set
	noAlg  bool   // the keys do not say their algorithm
	ours   bool   // the user names are ours

	id, user, email, name, roles string // as the headers have them, id and user after the issuer's name
}

const (
	encryptionKey = `{"kid":"enc","kty":"RSA","alg":"RSA-OAEP","use":"enc","n":"AQAB","e":"AQAB","x5c":["MIIB"]}`
	certificate   = `{"kid":"x5c","kty":"RSA","use":"sig","x5t":"a b","x5c":["MIICnTCCAYUCBg=="]}`
	padded        = `{"kid":"old key","kty":"RSA","alg":"RS256","use":"sig","n":"AQAB==","e":"AQAB=="}`
	nothing       = `null`
	spiffeKey     = `{"kid":"svid","kty":"EC","use":"x509-svid","crv":"P-256","x":"","y":""}`
)

// shapes are what the documents of their makers say that tokens are. Whatever stands in them that is of no use here stands
// there too.
var shapes = map[string]shape{
	"Keycloak": {
		issuer: "keycloak", typ: "JWT", keys: encryptionKey,
		claims: claims{
			"aud": []string{"app", "account"}, "jti": "onrtac:2c0dd7f1-6e5b-4a6f-a2c5-3a37b7d6a9f0", "sub": "7335d417-61da-459d-899c-0a01c76a2f94", "typ": "Bearer",
			"azp": "spa", "sid": "5b1f0c4e-5a55-4f0c-9e7d-0f5a3c1d2e3f", "acr": "1", "allowed-origins": []string{"https://app.corp.example"}, "auth_time": ago,
			"realm_access":    claims{"roles": []string{"default-roles-corp", "offline_access", "uma_authorization", "editor"}},
			"resource_access": claims{"account": claims{"roles": []string{"manage-account"}}}, "scope": "openid profile email",
			"email_verified": true, "name": "Jürgen Müller", "groups": []string{"/admins"}, "preferred_username": "jürgen", "given_name": "Jürgen", "family_name": "Müller", "email": "juergen@corp.example",
		},
		id: "7335d417-61da-459d-899c-0a01c76a2f94", user: "j%C3%BCrgen", email: "juergen@corp.example", name: "J%C3%BCrgen M%C3%BCller", roles: "editor",
	},
	"Auth0, a user": {
		issuer: "auth0", typ: "JWT", keys: certificate,
		claims: claims{
			"sub": "auth0|5f7c8ec7c33c6c004bbafe82", "aud": []string{"https://api.corp.example", "https://corp.eu.auth0.com/userinfo"}, "azp": "my_client_id",
			"scope": "openid profile email", "https://corp.example/roles": []string{"admin", "Billing Team"}, "permissions": []string{"read:calendar"},
		},
		id: "auth0|5f7c8ec7c33c6c004bbafe82", user: "auth0|5f7c8ec7c33c6c004bbafe82", roles: "Billing%20Team,admin",
	},
	"Auth0, a user, as RFC 9068 has it": {
		issuer: "auth0", typ: "at+jwt",
		claims: claims{"sub": "google-oauth2|110169484474386276334", "client_id": "my_client_id", "jti": "abc", "scope": "openid", "auth_time": ago},
		id:     "google-oauth2|110169484474386276334", user: "google-oauth2|110169484474386276334",
	},
	"Auth0, a machine": {
		issuer: "auth0", typ: "JWT",
		claims: claims{"sub": "my_client_id@clients", "azp": "my_client_id", "scope": "read:calendar", "gty": "client-credentials"},
		id:     "my_client_id@clients", user: "my_client_id@clients",
	},
	"Entra v1": {
		issuer: "entra-v1", typ: "JWT", header: claims{"x5t": "nOo3ZDrODXEK1jKWhXslHR_KXEg"}, noAlg: true, keys: certificate,
		claims: claims{
			"nbf": ago, "acr": "1", "aio": "AXQAi/8IAAAA", "amr": []string{"pwd", "mfa"}, "appid": "dddddddd-0000-4000-8000-000000000000", "appidacr": "0",
			"family_name": "Liddell", "given_name": "Alice", "groups": []string{"bbbbbbbb-cccc-4ddd-8eee-ffffffffffff", "99999999-0000-4000-8000-000000000000"},
			"ipaddr": "203.0.113.7", "name": "Alice Liddell", "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474", "rh": "0.ARoAv4j5cvGGr0GRqy180BHbR.", "scp": "user_impersonation",
			"sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", "tid": "11111111-2222-4333-8444-555555555555", "unique_name": "alice@corp.example",
			"upn": "alice@corp.example", "uti": "fqiBqXLPj0eQa82S-IYFAA", "ver": "1.0",
		},
		id: "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", user: "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", email: "alice@corp.example", name: "Alice Liddell", roles: "admin",
	},
	"Entra v2": {
		issuer: "entra", typ: "JWT", noAlg: true, keys: certificate,
		claims: claims{
			"nbf": ago, "aio": "AXQAi/8IAAAA", "azp": "dddddddd-0000-4000-8000-000000000000", "azpacr": "0", "name": "Bob (Guest)", "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
			"preferred_username": "bob_gmail.com#EXT#@corp.onmicrosoft.com", "rh": "I", "roles": []string{"Admin", "Task.Read"}, "scp": "access_as_user",
			"sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ", "tid": "11111111-2222-4333-8444-555555555555", "uti": "fqiBqXLPj0eQa82S-IYFAA", "ver": "2.0",
		},
		id: "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ", user: "bob_gmail.com#EXT#@corp.onmicrosoft.com", name: "Bob (Guest)", roles: "Task.Read,admin",
	},
	"Azure AD B2C": {
		issuer: "b2c", typ: "JWT", noAlg: true,
		claims: claims{
			"nbf": ago, "sub": "884408e1-2918-4cz0-b12d-3aa027d7563b", "oid": "884408e1-2918-4cz0-b12d-3aa027d7563b", "auth_time": ago, "idp": "facebook.com", "name": "Alice",
			"extension_Roles": "editor, billing", "emails": []string{"alice@corp.example", "al@corp.example"}, "tfp": "B2C_1_signupsignin", "ver": "1.0", "nonce": "12345",
		},
		id: "884408e1-2918-4cz0-b12d-3aa027d7563b", user: "884408e1-2918-4cz0-b12d-3aa027d7563b", email: "alice@corp.example", name: "Alice", roles: "billing,editor",
	},
	"Cognito, an ID token": {
		issuer: "cognito",
		claims: claims{
			"sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "cognito:groups": []string{"Admins"}, "email_verified": true, "cognito:username": "alice", "origin_jti": "d-1",
			"event_id": "64f513be-32db-42b0-b78e-b02127b4f463", "token_use": "id", "auth_time": ago, "jti": "cccccccc-dddd-eeee-aaaa-bbbbbbbbbbbb", "email": "alice@corp.example",
		},
		id: "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", user: "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", email: "alice@corp.example", roles: "Admins",
	},
	"Cognito, an access token": {
		issuer: "cognito-access",
		claims: claims{
			"sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "cognito:groups": []string{"Admins"}, "version": 2, "client_id": "1example23456789", "origin_jti": "d-1",
			"event_id": "64f513be", "token_use": "access", "scope": "aws.cognito.signin.user.admin", "auth_time": ago, "jti": "cccccccc", "username": "alice",
		},
		id: "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", user: "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", roles: "admins",
	},
	"Google": {
		issuer: "google", typ: "JWT",
		claims: claims{
			"azp": "1234567890-abc.apps.googleusercontent.com", "sub": "110169484474386276334", "hd": "corp.example", "email": "alice@corp.example", "email_verified": true,
			"at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q", "name": "Alice Liddell", "picture": "https://lh3.googleusercontent.com/a", "given_name": "Alice", "family_name": "Liddell",
		},
		id: "110169484474386276334", user: "110169484474386276334", email: "alice@corp.example", name: "Alice Liddell",
	},
	"Google IAP": {
		issuer: "iap", typ: "JWT", alg: "ES256",
		claims: claims{"sub": "accounts.google.com:110169484474386276334", "email": "alice@corp.example", "hd": "corp.example", "google": claims{"access_levels": []string{"accessPolicies/1/accessLevels/a"}}},
		id:     "accounts.google.com:110169484474386276334", user: "accounts.google.com:110169484474386276334", email: "alice@corp.example",
	},
	"Firebase": {
		issuer: "firebase", typ: "JWT",
		claims: claims{
			"name": "Alice", "picture": "https://x.example/a", "roles": []string{"editor"}, "auth_time": ago, "user_id": "0ZbTgqGAo8Z4pBZbCqKjK1Yxv1k2", "sub": "0ZbTgqGAo8Z4pBZbCqKjK1Yxv1k2",
			"email": "alice@corp.example", "email_verified": false, "firebase": claims{"identities": claims{"email": []string{"alice@corp.example"}}, "sign_in_provider": "password"},
		},
		id: "0ZbTgqGAo8Z4pBZbCqKjK1Yxv1k2", user: "0ZbTgqGAo8Z4pBZbCqKjK1Yxv1k2", email: "alice@corp.example", name: "Alice", roles: "editor",
	},
	"GitHub Actions": {
		issuer: "github", typ: "JWT", header: claims{"x5t": "ykNaY4qM_ta4k2TgZOCEYLkcYlA"}, keys: certificate,
		claims: claims{
			"jti": "example-id", "sub": "repo:octo-org/octo-repo:environment:prod", "environment": "prod", "ref": "refs/heads/main", "sha": "example-sha", "repository": "octo-org/octo-repo",
			"repository_owner": "octo-org", "actor_id": "12", "repository_visibility": "private", "repository_id": "74", "run_id": "example-run-id", "run_number": "10", "run_attempt": "2",
			"runner_environment": "github-hosted", "actor": "octocat", "workflow": "example-workflow", "head_ref": "", "base_ref": "", "event_name": "workflow_dispatch", "ref_type": "branch", "nbf": ago,
		},
		id: "repo:octo-org/octo-repo:environment:prod", user: "repo:octo-org/octo-repo:environment:prod",
	},
	"GitLab CI": {
		issuer: "gitlab", typ: "JWT",
		claims: claims{
			"namespace_id": "72", "namespace_path": "my-group", "project_id": "20", "project_path": "my-group/my-project", "user_id": "1", "user_login": "sample-user",
			"user_email": "sample-user@corp.example", "user_identities": []claims{{"provider": "github", "extern_uid": "2435223452345"}}, "pipeline_id": "574", "job_id": "302", "ref": "main",
			"ref_type": "branch", "ref_path": "refs/heads/main", "ref_protected": "true", "groups_direct": []string{"my-group/my-subgroup"}, "jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b", "nbf": ago,
			"sub": "project_path:my-group/my-project:ref_type:branch:ref:main",
		},
		id: "project_path:my-group/my-project:ref_type:branch:ref:main", user: "project_path:my-group/my-project:ref_type:branch:ref:main",
	},
	"Kubernetes": {
		issuer: "kubernetes",
		claims: claims{
			"aud": []string{"gateway"}, "jti": "ea28ed49-2e11-4280-9ec5-bc3d1d84661a", "nbf": ago, "sub": "system:serviceaccount:my-namespace:my-serviceaccount",
			"kubernetes.io": claims{
				"namespace": "my-namespace", "node": claims{"name": "n-1", "uid": "1"}, "pod": claims{"name": "p-1", "uid": "2"},
				"serviceaccount": claims{"name": "my-serviceaccount", "uid": "3"}, "warnafter": 1732000000,
			},
		},
		id: "system:serviceaccount:my-namespace:my-serviceaccount", user: "system:serviceaccount:my-namespace:my-serviceaccount", roles: "my-namespace",
	},
	"SPIFFE": {
		issuer: "spiffe", typ: "JWT", alg: "ES256", keys: spiffeKey,
		claims: claims{"aud": []string{"spiffe://example.org/gateway"}, "sub": "spiffe://example.org/ns/default/sa/web"},
		id:     "spiffe://example.org/ns/default/sa/web", user: "spiffe://example.org/ns/default/sa/web",
	},
	"Okta": {
		issuer: "okta", keys: nothing,
		claims: claims{
			"ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE", "cid": "0oab8om4bars6Y80Z0g4", "uid": "00uixa271s6x7qt8I0h7", "scp": []string{"openid", "email"},
			"auth_time": ago, "sub": "alice@corp.example", "groups": []string{"Everyone", "Ops"},
		},
		id: "alice@corp.example", user: "alice@corp.example", roles: "Ops",
	},
	"authentik": {
		issuer: "authentik", typ: "JWT", keys: certificate,
		claims: claims{
			"sub": "9c0f2b3b1f6b1c9f7d0a8a3c2e1f4b5a69788766554433221100ffeeddccbbaa", "auth_time": ago, "acr": "goauthentik.io/providers/oauth2/default", "amr": []string{"pwd"}, "sid": "f00",
			"email": "akadmin@corp.example", "email_verified": true, "name": "authentik Default Admin", "given_name": "authentik Default Admin", "preferred_username": "akadmin", "nickname": "akadmin",
			"groups": []string{"authentik Admins", "Site Team"}, "azp": "aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789abcd", "uid": "qYAeTmfZ",
		},
		id: "9c0f2b3b1f6b1c9f7d0a8a3c2e1f4b5a69788766554433221100ffeeddccbbaa", user: "akadmin", email: "akadmin@corp.example", name: "authentik Default Admin", roles: "Site%20Team,admin",
	},
	"ZITADEL": {
		issuer: "zitadel", typ: "JWT", keys: encryptionKey,
		claims: claims{
			"aud": []string{"69234237810729019", "69629023906488334"}, "client_id": "69234237810729019", "nbf": ago, "jti": "V2_196-at_197", "sub": "196000000000000001",
			"urn:zitadel:iam:org:project:roles": claims{"admin": claims{"166000000000000001": "corp.zitadel.cloud"}, "reader": claims{"166000000000000001": "corp.zitadel.cloud"}},
		},
		id: "196000000000000001", user: "196000000000000001", roles: "admin,reader",
	},
	"Supabase": {
		issuer: "supabase", typ: "JWT", alg: "ES256",
		claims: claims{
			"aal": "aal1", "amr": []claims{{"method": "password", "timestamp": 1640991600}}, "app_metadata": claims{"provider": "email", "providers": []string{"email"}, "roles": []string{"editor"}},
			"aud": "authenticated", "email": "alice@corp.example", "phone": "", "role": "authenticated", "session_id": "123e4567-e89b-12d3-a456-426614174000",
			"sub": "123e4567-e89b-12d3-a456-426614174001", "user_metadata": claims{"name": "Alice", "email_verified": true}, "is_anonymous": false,
		},
		id: "123e4567-e89b-12d3-a456-426614174001", user: "123e4567-e89b-12d3-a456-426614174001", email: "alice@corp.example", roles: "editor",
	},
	"Clerk": {
		issuer: "clerk", typ: "JWT", header: claims{"cat": "cl_B7d4PD111AAA"},
		claims: claims{
			"azp": "https://app.corp.example", "fva": []int{7, -1}, "jti": "1234567890", "nbf": ago, "sid": "sess_123", "sub": "user_123", "v": 2, "pla": "u:free,o:pro",
			"fea": "o:dashboard", "sts": "active", "o": claims{"id": "org_123", "slg": "corp", "rol": "admin", "per": "read,manage", "fpm": "3,2"},
		},
		id: "user_123", user: "user_123", roles: "admin",
	},
	"Ory Hydra": {
		issuer: "hydra", typ: "JWT", keys: padded,
		claims: claims{
			"aud": []string{}, "client_id": "4f1d2c9e-0000-4000-8000-000000000000", "ext": claims{}, "jti": "8c1a", "nbf": ago, "scp": []string{"offline", "orders.read"}, "sub": "alice",
		},
		id: "alice", user: "alice", roles: "offline,orders.read",
	},
	"Apple": {
		issuer: "apple",
		claims: claims{
			"sub": "001451.3dc436155xxxxxxxxxxxxxxxxxxxx59f.0447", "c_hash": "iUqI9Vyxxxxxxxxxg-CyoA", "email": "8m2xxxxmew@privaterelay.appleid.com", "email_verified": "true",
			"is_private_email": "true", "auth_time": ago, "nonce_supported": true,
		},
		id: "001451.3dc436155xxxxxxxxxxxxxxxxxxxx59f.0447", user: "001451.3dc436155xxxxxxxxxxxxxxxxxxxx59f.0447", email: "8m2xxxxmew@privaterelay.appleid.com",
	},
	"Cloudflare Access": {
		issuer: "cloudflare", typ: "JWT",
		claims: claims{
			"aud": []string{"32eafc7626e974616deaf0dc3ce63d7bcbed58a2731e84d06bc3cdf1b53c4228"}, "email": "alice@corp.example", "nbf": ago, "type": "app", "identity_nonce": "6ei69kawdKzMIAPF",
			"sub": "7335d417-61da-459d-899c-0a01c76a2f94", "country": "US", "custom": claims{"groups": []string{"Ops, Night Shift"}},
		},
		id: "7335d417-61da-459d-899c-0a01c76a2f94", user: "7335d417-61da-459d-899c-0a01c76a2f94", email: "alice@corp.example", roles: "Ops%2C%20Night%20Shift",
	},
	"AD FS": {
		issuer: "adfs", typ: "JWT", header: claims{"x5t": "nOo3ZDrODXEK1jKWhXslHR_KXEg"}, noAlg: true, keys: certificate,
		claims: claims{
			"nbf": ago, "auth_time": ago, "nonce": "6f0a", "sub": "eVMa5Ck5OnXnQy5m3hBm5jHV1RzbGlT5T0cHc7nVGKY=", "upn": "alice@corp.example", "unique_name": `CORP\alice`,
			"pwd_url": "https://fs.corp.example/adfs/portal/updatepassword/", "sid": "S-1-5-21-2127521184-1604012920-1887927527-72713", "role": "Domain Users", "apptype": "Public", "appid": "0a1b2c3d",
		},
		id: "eVMa5Ck5OnXnQy5m3hBm5jHV1RzbGlT5T0cHc7nVGKY=", user: "eVMa5Ck5OnXnQy5m3hBm5jHV1RzbGlT5T0cHc7nVGKY=", email: "alice@corp.example", roles: "Domain%20Users",
	},
	"AD FS access": {
		issuer: "adfs-access", typ: "JWT", header: claims{"x5t": "nOo3ZDrODXEK1jKWhXslHR_KXEg"}, noAlg: true, keys: certificate,
		claims: claims{
			"upn": "alice@corp.example", "sub": "eVMa5Ck5OnXnQy5m3hBm5jHV1RzbGlT5T0cHc7nVGKY=", "apptype": "Public", "appid": "0a1b2c3d-0000-4000-8000-000000000000",
			"authmethod": "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport", "auth_time": "2026-11-29T08:15:07.127Z", "ver": "1.0", "scp": "openid",
			"role": []string{"Domain Users", "VPN"},
		},
		id: "eVMa5Ck5OnXnQy5m3hBm5jHV1RzbGlT5T0cHc7nVGKY=", user: "eVMa5Ck5OnXnQy5m3hBm5jHV1RzbGlT5T0cHc7nVGKY=", email: "alice@corp.example", roles: "Domain%20Users,VPN",
	},
	"SimpleJWT": {
		issuer: "simplejwt", typ: "JWT", alg: "HS256",
		claims: claims{"token_type": "access", "jti": "b5a3d9f8c0e24e1f9a1f0c5e7d3b2a10", "sub": 17},
		id:     "17", user: "17",
	},
	"the guide": {
		issuer: "legacy-django", typ: "JWT", alg: "HS256",
		claims: claims{"username": "alice", "email": "alice@corp.example"},
		ours:   true, id: "alice", user: "alice", email: "alice@corp.example",
	},
}
