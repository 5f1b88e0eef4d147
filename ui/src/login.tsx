import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { urlOf } from './api.ts';
import { rememberView } from './location.ts';
import { announce } from './parts/status.tsx';
import { DialogForm } from './parts/dialog.tsx';
import { TextField } from './parts/field.tsx';
import { cancelLogin, logIn, session } from './session.ts';

/** Asks for a name and a password or token. */
export function LoginDialog(): VNode {
  const [username, setUsername] = useState(session.value?.principal?.id ?? '');
  const [password, setPassword] = useState('');
  const { url, oidc = [] } = session.value?.login ?? {};
  const submit = async (): Promise<void> => {
    await logIn(username, password);
    announce(`Logged in as ${username}`);
  };
  return (
    <DialogForm
      title="Log in"
      submit="Log in"
      what="You could not log in"
      isReady={username !== '' && password !== ''}
      onSubmit={submit}
      onClose={cancelLogin}
    >
      <TextField
        label="User name"
        name="username"
        autocomplete="username"
        value={username}
        onInput={setUsername}
        required
      />
      <TextField
        label="Password or token"
        type="password"
        name="password"
        autocomplete="current-password"
        value={password}
        onInput={setPassword}
        help="The same as for docker login. Tokens start with aat_."
        required
      />
      {oidc.map(({ name, title }) => (
        <p key={name}>
          <a class="button" href={urlOf(`session/oidc/${name}`)} onClick={rememberView}>
            Log in with {title}
          </a>
        </p>
      ))}
      {url === undefined ? undefined : (
        <p>
          <a href={url} onClick={rememberView}>
            Log in with your application
          </a>
        </p>
      )}
    </DialogForm>
  );
}
