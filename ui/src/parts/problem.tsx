import type { ComponentChildren, VNode } from 'preact';
import type { ApiError } from '../api.ts';
import { session, askToLogIn } from '../session.ts';
import type { Answer } from '../use-answer.ts';
import { Icon } from './icon.tsx';
import { isolate } from './isolate.tsx';

/** Shows an error: what failed, the message and code of the registry, the id of the request, and a button to try again. */
export function Problem({
  error,
  what,
  retry,
}: {
  readonly error: ApiError;
  /** The failure: `The tags could not be read`. */
  readonly what: string;
  readonly retry?: (() => void) | undefined;
}): VNode {
  const mayLogIn = error.status === 401 && session.value?.login.password === true;
  return (
    <div class="problem" role="alert">
      <Icon name="alert" />
      <div>
        <p>
          <strong>{what}:</strong> {isolate(error.message)}
        </p>
        <p class="faint">
          {error.code}
          {error.requestId === undefined ? undefined : ` · request ${error.requestId}`}
        </p>
      </div>
      {mayLogIn ? (
        <button type="button" onClick={() => void askToLogIn().then((done) => done && retry?.())}>
          Log in
        </button>
      ) : undefined}
      {retry === undefined ? undefined : (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

/** Shows an answer once it is there. After a failure, it shows the error above the last answer. */
export function Answered<T>({
  answer,
  what,
  children,
}: {
  readonly answer: Answer<T>;
  readonly what: string;
  readonly children: (value: T) => ComponentChildren;
}): VNode {
  const { value, problem, isLoading, reload } = answer;
  return (
    <>
      {problem === undefined ? undefined : <Problem error={problem} what={what} retry={reload} />}
      {value === undefined ? isLoading ? <Loading /> : undefined : children(value)}
    </>
  );
}

/** Shows that the page is loading. It appears only after a moment, so that fast answers do not flicker. */
export function Loading(): VNode {
  return <p class="loading faint">Loading…</p>;
}

/** Shows that a list is empty, and what to do about it. */
export function Empty({ children }: { readonly children: ComponentChildren }): VNode {
  return <div class="empty">{children}</div>;
}
