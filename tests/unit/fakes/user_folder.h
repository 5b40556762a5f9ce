/* SPDX-License-Identifier: Apache-2.0 */
/* A user with an empty XDG_RUNTIME_DIR of its own: root becomes somebody else for as long. */
#ifndef USER_FOLDER_H
#define USER_FOLDER_H

/* Returns the folder (XDG_RUNTIME_DIR itself), which user_folder_leave removes with its content. */
const char *user_folder_enter(void);
void user_folder_leave(void);

#endif
