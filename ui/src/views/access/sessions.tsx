import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { SessionListDocument } from '../../../../src/protocol/documents/session.js';
import { get, send } from '../../api.ts';
import { compareNaturally, count } from '../../format.ts';
import { DialogForm } from '../../parts/dialog.tsx';
import { Answered, Empty } from '../../parts/problem.tsx';
import { announce } from '../../parts/status.tsx';
import { Table, type Column } from '../../parts/table.tsx';
import { When } from '../../parts/texts.tsx';
import { loadSession } from '../../session.ts';
import { useAnswer } from '../../use-answer.ts';

type Session = SessionListDocument['sessions'][number];

/**
 * Lists logins to the web UI, and ends one or all of them.
 * @param user the user whose sessions to list. Absent: everyone's.
 */
export function Sessions({ user }: { readonly user?: string }): VNode {
  const [asked, ask] = useState<Session | 'all' | undefined>(undefined);
  const answer = useAnswer((signal) => get<SessionListDocument>('sessions', { user }, signal), [user]);
  const columns = columnsOf(ask);
  return (
    <>
      {user === undefined ? undefined : (
        <div class="tools">
          <button type="button" onClick={() => ask('all')}>
            Log out everywhere
          </button>
        </div>
      )}
      <Answered answer={answer} what="The sessions could not be read">
        {({ sessions }) =>
          sessions.length === 0 ? (
            <Empty>No one is logged in to the web UI with a password or a token.</Empty>
          ) : (
            <Table
              caption="Sessions"
              rows={sessions}
              columns={user === undefined ? columns : columns.filter(({ key }) => key !== 'user')}
              keyOf={({ id }) => id}
            />
          )
        }
      </Answered>
      {asked === undefined ? undefined : (
        <EndSession asked={asked} onClose={() => ask(undefined)} onDone={answer.reload} />
      )}
    </>
  );
}

function columnsOf(ask: (session: Session) => void): readonly Column<Session>[] {
  return [
    {
      key: 'user',
      title: 'User',
      compare: (one, other) => compareNaturally(one.user, other.user),
      cell: ({ user }) => user,
    },
    {
      key: 'agent',
      title: 'Browser',
      isText: true,
      cell: ({ agent = 'unknown', current: isCurrent }) => (
        <>
          {agent} {isCurrent ? <span class="badge good">this one</span> : undefined}
        </>
      ),
    },
    { key: 'address', title: 'Address', isWide: true, cell: ({ address }) => address },
    { key: 'created', title: 'Login', isWide: true, cell: (session) => <When at={session.created_at} /> },
    {
      key: 'seen',
      title: 'Last request',
      isText: true,
      compare: (one, other) => one.seen_at.localeCompare(other.seen_at),
      cell: (session) => <When at={session.seen_at} />,
    },
    {
      key: 'end',
      title: 'Action',
      isText: true,
      cell: (session) => (
        <button
          type="button"
          aria-label={`End the session of ${session.user} from ${session.address}`}
          onClick={() => ask(session)}
        >
          End
        </button>
      ),
    },
  ];
}

function EndSession({
  asked,
  onClose,
  onDone,
}: {
  readonly asked: Session | 'all';
  readonly onClose: () => void;
  readonly onDone: () => void;
}): VNode {
  const isAll = asked === 'all';
  const end = async (): Promise<void> => {
    if (isAll) {
      const { ended } = await send<{ readonly ended: number }>('DELETE', 'sessions');
      announce(`Ended ${count(ended, 'session')}`);
    } else {
      await send('DELETE', `sessions/${asked.id}`);
      announce('Ended the session');
    }
    onClose();
    if (isAll || asked.current) await loadSession();
    else onDone();
  };
  return (
    <DialogForm
      title={isAll ? 'Log out everywhere?' : `End the session of ${asked.user}?`}
      submit={isAll ? 'Log out everywhere' : 'End'}
      what="The session could not be ended"
      isDangerous
      onSubmit={end}
      onClose={onClose}
    >
      <p>
        {isAll
          ? 'This ends all of your sessions, including this one. Tokens and docker logins stay valid.'
          : 'The browser has to log in again. Tokens and docker logins stay valid.'}
      </p>
    </DialogForm>
  );
}
