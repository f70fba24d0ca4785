// What lies above the page: dialogs, menus, toasts.
import { DropdownMenu } from "radix-ui";
import type { KeyboardEvent, MouseEvent, ReactNode, RefObject, SyntheticEvent } from "react";
import { createContext, useCallback, useContext, useEffect, useId, useRef, useState } from "react";
import { Refusal } from "../api/client";
import { forPage, opened } from "../lib/told";
import type { Tone } from "./base";
import { Button, Told } from "./base";
import { Icon } from "./icons";

interface DialogProps {
  title: string;
  open: boolean;
  onClose: () => void;
  children: ReactNode;
  footer?: ReactNode;
  shape?: "wide" | "drawer";
  /** What would be lost if it were closed; absent: what was written into its fields, if anything was. */
  loses?: string | undefined;
}

/** What has the focus; of an item of a menu, the button of that menu, since the item goes away. */
function focused(): Element | null {
  const menu = document.activeElement?.closest("[role=menu]")?.getAttribute("aria-labelledby");
  return menu ? document.getElementById(menu) : document.activeElement;
}

/** Shows a dialog above the page while it is open. When it is gone, the focus is again where it was before. */
export function useModal(ref: RefObject<HTMLDialogElement | null>, open: boolean, begin?: (dialog: HTMLDialogElement) => void) {
  const before = useRef<Element | null>(null);
  const first = useRef(begin);
  useEffect(() => {
    const dialog = ref.current;
    if (!open || !dialog) return;
    if (!dialog.open) {
      before.current = focused();
      dialog.showModal();
      first.current?.(dialog);
    }
    return () => {
      // Somebody may have moved it on purpose, or the page may be another one.
      if (!dialog.isConnected && document.activeElement === document.body && before.current instanceof HTMLElement) before.current.focus({ preventScroll: true });
    };
  }, [ref, open]);
}

const WRITTEN = "textarea, input:not([type=search], [type=checkbox], [type=radio], [type=file])";

/** Asks before what was written into a dialog is lost by a click beside it, by Escape or by its cross. */
function useAsking(ref: RefObject<HTMLDialogElement | null>, { open, onClose, loses }: Pick<DialogProps, "open" | "onClose" | "loses">) {
  const written = useRef(new Set<HTMLInputElement | HTMLTextAreaElement>());
  const [asking, setAsking] = useState(false);
  useEffect(() => setAsking(false), [open]);
  const lost = () => loses ?? ([...written.current].some((field) => field.isConnected && field.value.trim() !== "") ? "What you wrote is not saved." : undefined);
  const own = (event: SyntheticEvent) => (event.target as Element).closest("dialog") === ref.current;
  const leave = () => (lost() ? setAsking(true) : onClose());
  return {
    leave,
    question: asking ? lost() : undefined,
    stay: () => setAsking(false),
    // A dialog that lies above this one, such as a question, is inside it: what happens there is not meant for this one.
    handlers: {
      onInput: (event: SyntheticEvent) => {
        const field = event.target as HTMLInputElement;
        if (own(event) && field.matches(WRITTEN)) written.current.add(field);
      },
      onKeyDown: (event: KeyboardEvent) => {
        enter(event, ref.current);
        if (event.key !== "Escape" || event.defaultPrevented || !own(event)) return;
        event.preventDefault();
        leave();
      },
      onCancel: (event: SyntheticEvent) => {
        if (event.target !== ref.current) return;
        event.preventDefault();
        leave();
      },
      onClose: (event: SyntheticEvent) => {
        if (event.target === ref.current) onClose();
      },
      onMouseDown: (event: MouseEvent) => {
        if (event.target !== ref.current) return;
        // The scroll bar of a dialog is a part of it as well.
        const { left, right, top, bottom } = ref.current.getBoundingClientRect();
        if (event.clientX < left || event.clientX > right || event.clientY < top || event.clientY > bottom) leave();
      },
    },
  };
}

/** Enter in a field does what the button does that stands out, as it does in a form. */
function enter(event: KeyboardEvent, dialog: HTMLDialogElement | null) {
  const field = event.target as HTMLInputElement;
  if (event.key !== "Enter" || event.defaultPrevented || event.nativeEvent.isComposing || field.closest("dialog") !== dialog) return;
  if (!field.matches("input:not([type=checkbox], [type=radio], [type=file])") || field.form) return;
  event.preventDefault();
  dialog?.querySelector<HTMLButtonElement>(":scope > footer .primary:not(:disabled, [aria-disabled=true])")?.click();
}

/** The browser's own dialog: it keeps the focus inside, closes with Escape and makes the rest inert. */
export function Dialog({ title, open, onClose, children, footer, shape, loses }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useModal(ref, open, (dialog) => {
    // Where something is to be filled in, there; else on the title, so that reading begins at the top.
    const field = dialog.querySelector<HTMLElement>(".body :is(input:not(.sr), textarea, select)");
    (shape === "drawer" ? dialog.querySelector<HTMLElement>("h2") : (field ?? dialog.querySelector<HTMLElement>("h2")))?.focus();
  });
  const { leave, question, stay, handlers } = useAsking(ref, { open, onClose, loses });
  if (!open) return null;
  return (
    <dialog ref={ref} className={shape} aria-labelledby={id} {...handlers}>
      <header>
        <h2 id={id} tabIndex={-1} className="grow wrap-any" style={{ outline: "none" }}>{title}</h2>
        <Button kind="quiet" small icon="close" aria-label="Close" onClick={leave} />
      </header>
      <div className="body">{children}</div>
      {question ? (
        <footer role="alert">
          <strong className="grow">{question}</strong>
          <Button kind="danger" onClick={onClose}>Close all the same</Button>
          <Button kind="primary" autoFocus onClick={stay}>Stay</Button>
        </footer>
      ) : footer && <footer>{footer}</footer>}
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  open: boolean;
  onClose: () => void;
  onConfirm: () => void;
  action: string;
  danger?: boolean;
  busy?: boolean;
  disabled?: boolean;
  children: ReactNode;
}

/** Asks before something that matters. */
export function Confirm({ title, open, onClose, onConfirm, action, danger, busy, disabled, children }: ConfirmProps) {
  return (
    <Dialog
      title={title}
      open={open}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind={danger ? "danger primary" : "primary"} disabled={busy || disabled} onClick={onConfirm}>
            {busy ? "Working…" : action}
          </Button>
        </>
      }
    >
      {children}
    </Dialog>
  );
}

interface MenuItem {
  label: string;
  onSelect: () => void;
  danger?: boolean;
  disabled?: boolean;
  /** Why it cannot be chosen; it stands below the words. */
  refused?: string | false | undefined;
}

export function Menu({ label, items, children }: { label: string; items: (MenuItem | "rule")[]; children?: ReactNode }) {
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger asChild>{children ?? <Button icon="dots" aria-label={label} />}</DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content className="menu" align="end" sideOffset={4} collisionPadding={8}>
          {items.map((item, i) =>
            item === "rule" ? (
              <hr key={i} />
            ) : (
              <DropdownMenu.Item key={i} className={item.danger ? "danger" : ""} disabled={Boolean(item.disabled || item.refused)} onSelect={item.onSelect}>
                <span>{item.label}{item.refused && <span className="why">{item.refused}</span>}</span>
              </DropdownMenu.Item>
            ),
          )}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}

interface Toast {
  id: number;
  tone: Tone;
  text: string;
  hint: string | undefined;
}

type Say = (text: string, tone?: Tone, hint?: string) => void;
const Toasts = createContext<Say>(() => undefined);

export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Toast[]>([]);
  const next = useRef(0);
  const drop = useCallback((id: number) => setToasts((all) => all.filter((toast) => toast.id !== id)), []);
  const say = useCallback<Say>(
    (text, tone = "good", hint) => {
      const id = next.current++;
      setToasts((all) => [...all.slice(-3), { id, tone, text, hint }]);
      setTimeout(() => drop(id), tone === "bad" ? 12_000 : 5_000);
    },
    [drop],
  );
  return (
    <Toasts.Provider value={say}>
      {children}
      <div className="toasts" role="status" aria-live="polite">
        {toasts.map((toast) => (
          <div key={toast.id} className="toast">
            <span className={toast.tone}><Icon name={toast.tone === "good" ? "check" : "warning"} /></span>
            <div className="grow">
              <div><Told text={toast.text} /></div>
              {toast.hint && <div className="muted"><Told text={toast.hint} /></div>}
            </div>
            <Button kind="quiet" small icon="close" aria-label="Dismiss" onClick={() => drop(toast.id)} />
          </div>
        ))}
      </div>
    </Toasts.Provider>
  );
}

/** Says something in the corner; `refused` says why something did not work. */
export function useSay(): { say: Say; refused: (error: unknown) => void } {
  const say = useContext(Toasts);
  const refused = useCallback(
    (error: unknown) => say(opened(error instanceof Error ? error.message : String(error)), "bad", error instanceof Refusal ? opened(forPage(error.hint ?? "")) || undefined : undefined),
    [say],
  );
  return { say, refused };
}
